"""How devices are spoken to that more than one family of drivers asks: BMCs are read by monitors, and switched by fences."""
