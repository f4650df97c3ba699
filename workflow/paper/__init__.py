"""What authors take into papers: figures, tables, numbers, captions, references and a checklist, and a report in print."""
