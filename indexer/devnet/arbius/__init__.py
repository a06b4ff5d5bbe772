"""An Arbius engine of our own on the devnet, in three forms with upgrades between them, and people who use it.

The contracts in `contracts/` are written from arbius.md: they follow the real engine's events, structs, hash chain,
getters, times and outcome rules, and nothing else of it.
"""
