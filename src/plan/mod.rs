//! A config becomes a plan: phases and requests. Pure.
