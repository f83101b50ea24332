"""`python -m proxy_api`: the same as the command `proxy-api`. Entry."""

from proxy_api.cli.main import main

if __name__ == "__main__":
    main()
