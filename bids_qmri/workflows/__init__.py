"""From acquisitions to jobs (`plan`) and from jobs to a nipype workflow (`participant`)."""
