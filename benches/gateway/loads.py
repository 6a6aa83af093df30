"""The loads that proxies are put under, and how often."""

from rounds import Load

IDLE = Load("idle", 1000, 4, 2.0)  # what a stream takes of memory
MANY = Load("many", 1000, 50, 0.1)
MODEST = Load("modest", 10, 100, 0.05)  # latencies: no proxy has to work hard
STEADY = Load("steady", 20, 300, 0.02)
BUSY = Load("busy", 100, 200, 0.02)
BURST = Load("burst", 20, 2000, 0.0)
ROUNDS = {IDLE: 1, MANY: 1, MODEST: 5, STEADY: 5, BUSY: 5, BURST: 5}
COUNTED = [Load("alone", 1, 100, 0.01), Load("burst", 20, 100, 0.0)]
"""Where instructions are counted: each chunk comes alone, or many with one read."""
QUICK = {Load("many", 1000, 5, 0.2): 1, Load("modest", 20, 50, 0.01): 1, Load("burst", 20, 100, 0.0): 1}
