"""Values and rules: what is asked, released, routed, rendered and changed. No clock, no file, no socket."""
