"""Pictures and labels from folders, IDX files and manifests: split, checked, kept in memory, and read in batches."""
