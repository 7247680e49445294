source "$PYTHONPATH/tests/docs/setups/http.sh"
