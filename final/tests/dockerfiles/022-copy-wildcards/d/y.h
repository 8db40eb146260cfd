yh
