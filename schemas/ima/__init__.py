"""The Linux kernel's IMA measurement list: records in each form that a kernel shows, templates and file signatures."""
