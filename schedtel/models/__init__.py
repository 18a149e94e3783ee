"""Weights that were trained in; versions of models with all that they can and whence they came, checked, out.

weights    bytes of a file                  → arrays that can be a network's, or a refusal
network    arrays                           → scores of an observation, by numpy
manifest   what is known of a version       → the bytes that its name is the digest of, and back
store      a directory                      → objects by their sha256, and names for the newest of a history
merging    versions of one ancestor         → their average, or their trimmed changes (TIES)
curation   a store and a judge of costs     → update, merge, split and rollback, decided by each graph's cost
picking    a graph's fingerprint            → the models whose graphs are nearest
checking   a store                          → everything in it that is not as it was written
"""
