"""What is measured: each module is a case that prints its figures and keeps them in results/."""
