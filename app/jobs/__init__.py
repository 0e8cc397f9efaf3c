"""What the pages tell of jobs: the line-up, one job’s story, failures, schedules, files of jobs."""
