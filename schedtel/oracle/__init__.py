"""Recordings of single events in; what the scheduler does next, as models say it, and how often they are right, out."""
