"""Virtual multiplex immunofluorescence and cell counts from ordinary immunohistochemistry images."""
