"""What sensors say, when a card needs somebody, why it is slow."""
