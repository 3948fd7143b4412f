"""A chat that shows who is online: what an application around the server looks like.

Its backend talks to the server through the SDK alone, as yours would.
"""
