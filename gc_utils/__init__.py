"""Group crosscoders: sparse dictionaries of a network's response to every turned image.

The modules are imported one by one (`from gc_utils.groups import group`), so that importing the
package costs nothing.
"""

__version__ = "0.1.0"
