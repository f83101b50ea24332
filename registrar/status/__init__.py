"""What registrar tells of itself: its log, its metrics, its state over HTTP."""
