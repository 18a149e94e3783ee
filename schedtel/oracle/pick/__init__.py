"""A recording of events with books in; which thread EEVDF chooses at each switch, and how often that is so, out.

steps       a recording                            → its events in the order of time, each with its books
eevdf       the entities of a queue                → the one that the scheduler chooses
emulator    events and books, one after the other  → the thread that comes next on a CPU
without_books   events alone                       → the same, as good as can be
picks       a recording                            → each switch: who came, who was said to come, and why it is so
figures     picks                                  → shares, and reasons of the rest
"""
