"""What is behind the backend ``torch``: ``backend`` is used by it, and uses ``runner``, ``network`` and ``device``."""
