"""``quickeye optimize``: candidates made from a parent, measured, guarded; the best of them on a front."""
