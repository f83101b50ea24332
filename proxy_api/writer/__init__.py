"""The process that changes anything: pass after pass over what was asked and what moved."""
