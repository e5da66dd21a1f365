"""Taking networks apart: what each part does for each task, and which parts suffice."""
