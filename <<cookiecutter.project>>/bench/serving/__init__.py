"""For `bench serve`: the usual ways of serving the same model, each as its manual says, and the client that asks."""
