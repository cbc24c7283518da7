"""Teachers for distillation: any bundle, checkpoint or run, or several of them together.

``options.py`` is what a recipe says, ``read.py`` finds and opens it, ``teacher.py`` is the
module that looks at the student's pictures, ``cache.py`` keeps its logits on disk.
"""
