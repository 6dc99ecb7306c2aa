"""The attack catalogue: each attack is one function, made against the product, with the verdict that is right."""
