"""The forecasting study: recurrent networks on a series, beside persistence and a linear autoregression."""
