//! g CO2e: tables of carbon intensity, PUE.
