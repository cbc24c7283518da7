"""Where the process spends its time, while it serves: a sampler of all its threads, and what is made of its samples."""
