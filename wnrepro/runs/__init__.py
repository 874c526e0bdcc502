"""What a run leaves on disk: identity, manifest, metrics, checkpoint, status.

Nothing is imported here, so that the status of a thousand runs can be read without torch, which
only `checkpoint` needs.
"""
