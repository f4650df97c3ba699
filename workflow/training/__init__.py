"""TrainingRun -> Result. By hand: `python -m workflow.training results/runs/<id> ...` serves a cohort of runs in one process."""
