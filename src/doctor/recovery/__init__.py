"""Decides what becomes of a Consumer's instruction: whether it is taken, when it may begin, how it goes on."""
