//! Discrete-event models of the systems that wattle's source papers evaluate: the broker campaign of the
//! ledger-as-a-service paper, Wallance's vote latency, and how both scale.
//!
//! Purpose: reproduce published figures, then extrapolate ours beside them. The models run on simulated time
//! and know nothing of sockets; `wattle sim` will be their command line. No model is here yet.
