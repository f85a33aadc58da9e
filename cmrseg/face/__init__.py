"""What a person calls from Python: `import cmrseg` and these names, few arguments, plain answers."""
