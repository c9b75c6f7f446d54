"""The web service: uploads, jobs, results and their tiles over HTTP, and the workers that do the jobs."""
