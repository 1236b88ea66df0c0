"""The demo's money managers: seeded strategies at the simulator's terminals, never through Apportion."""
