"""What the command line calls for training and judging; each module is one command."""
