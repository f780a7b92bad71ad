"""Cards by driver: NVIDIA, AMD, Intel."""
