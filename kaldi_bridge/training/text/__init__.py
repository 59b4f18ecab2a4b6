"""What is read aloud: endless, varied, plain English."""
