"""Channels: how notifications reach Consumers."""
