"""This machine and this user in; what can be done here, and whether the laws hold, out."""
