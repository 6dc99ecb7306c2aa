"""The IMA measurement list of the Linux kernel: its entries in every form, templates and file signatures."""
