"""What is complete in an output dataset, who is at work on it, and how results take their place."""
