"""dlcore: watch a neural network learn. The engine; it knows no page and imports no Streamlit."""
