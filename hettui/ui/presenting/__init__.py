"""Facts into views: pure, without Textual and Rich."""
