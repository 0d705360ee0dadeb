"""Pure encoders: values in, text or bytes out, no I/O and no state."""
