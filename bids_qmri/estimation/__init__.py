"""From voxels to maps, arrays only: the one path for files and streams."""
