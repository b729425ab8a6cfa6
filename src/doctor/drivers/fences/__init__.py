"""What can cut a host off. Each driver is small, and brings its library only when it is used."""
