"""What executes the generated pipelines on one machine: act, gitlab-ci-local, and doubles of what surrounds them."""
