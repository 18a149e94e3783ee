"""This machine and this user in; what schedtel can do here, and whether the laws hold, out."""
