"""Client for the ADB protocol: what Android's `adb` program does, over TCP, a Unix socket or USB.

From the lowest layer upwards: `transport` (bytes), `keys` (RSA keys of this computer), `stream`
    (one
service of a connection), `connection` (reconnects when it is lost), `shell_output` (packets of
output and exit codes), `link` (commands and files). Nothing here depends on models or timings.
"""
